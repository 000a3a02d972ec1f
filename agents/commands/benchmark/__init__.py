"""The command `seenn benchmark`."""
