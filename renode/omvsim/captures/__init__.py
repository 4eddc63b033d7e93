"""What a real device's capture becomes: what its peers were trusted with, and its script."""
