"""What an account holds, and the rows that other programs read."""
