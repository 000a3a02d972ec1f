"""The backbone contract: its protocol, its check, and the loops that drive any backbone by it."""
