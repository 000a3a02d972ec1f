"""Check that a policy meets the backbone that it was trained for.

    check_trained_for(policy, network)              # or traces; an InputError for another backbone

A policy without a fingerprint, such as a threshold rule, is for any backbone.
"""

from typing import Any

from agents.rules.score import fingerprint_of
from backbones import Backbone, InputError
from seenn_env import Traces
from seenn_env.evaluation import check_timesteps


def check_trained_for(policy: Any, network: Backbone | Traces) -> None:
    """Refuse a policy that was trained for another T or backbone; an inference form counts as its plain form too.

    Raises:
        InputError: naming both fingerprints, or both T.
    """
    check_timesteps(policy, network.timesteps)
    trained = fingerprint_of(policy)
    if trained is None:
        return
    if isinstance(network, Traces):
        own = [network.info.get("fingerprint")]
    else:
        own = [getattr(network, "plain", network).fingerprint, network.fingerprint]
    if own[0] and trained not in own:
        raise InputError(
            f"Expected a policy for the backbone {own[0]}, got one that was trained for {trained}: train it on traces "
            "of this backbone, or run the backbone that it was trained for."
        )
