"""Downloads: a manifest of what there is, transfers that can be killed, and what is taken out of archives."""
