"""What an operator does with an installation as a whole: save it, restore it, examine it."""
