"""omvsim's commands, a file each: arguments and printing."""
