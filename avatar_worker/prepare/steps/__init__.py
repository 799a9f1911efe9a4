"""The work, one thing each, in this order; each goes on where it was interrupted."""
