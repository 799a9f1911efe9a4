"""What crosses a process boundary: every process imports it, it imports the standard library."""
