"""What our web servers stand on: their addresses, whom they answer, how they are run."""
