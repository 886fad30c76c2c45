"""Things to steer: parameters in, estimates out."""
