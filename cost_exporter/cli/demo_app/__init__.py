"""What the demo runs: a local fake of each vendor's API, and a small application that knows nothing of callfare."""
