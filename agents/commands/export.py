"""`seenn export`: a backbone and a policy as ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import agents
import backbones as bb
from agents.commands.output import open_folder
from agents.commands.policies import named_policy
from agents.commands.stated_default import Stated
from backbones.argument_checks import Positive
from backbones.errors import counted

MAKES = r"(start|step|policy)\.onnx|network\.json"
"""Files of the result."""


@dataclass(frozen=True)
class Export:
    """Export a backbone and a policy to ONNX.

    The files are start.onnx, step.onnx, policy.onnx and network.json. Each is run and compared with the network and the
    policy before it is written. The command needs the extra "onnx".

    For example:

        seenn export --backbone digits --policy digits/ppo --output runs/onnx
    """

    backbone: Path
    """File or packaged name of the backbone."""
    output: Path
    """Folder for the files."""
    policy: str = "margin"
    """File of a policy, name of a packaged one, or of a rule: confidence, entropy or margin."""
    threshold: Stated[float | None] = None
    """Threshold of the policy (default: its own)."""
    slots: Positive = 32
    """Images that the network runs at once: the batch size, which is fixed in the files."""
    overwrite: bool = False
    """Replace an earlier result."""

    def run(self) -> None:
        """Export, and print the folder and its files."""
        policy = named_policy(self.policy, self.threshold)
        network = bb.load(self.backbone)
        output = open_folder(self.output, self, self.overwrite, makes=MAKES)
        try:
            agents.export(network, policy, output.work, num_slots=self.slots)
        finally:
            output.discard_without("network.json")
        output.close()
        print(f"for {counted(self.slots, 'slot')}: start.onnx, step.onnx, policy.onnx, network.json")
        print("export:", output.final)
