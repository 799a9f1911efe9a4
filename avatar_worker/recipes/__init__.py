"""How the shipped data was made: run rarely, by hand, with requirements of their own."""
