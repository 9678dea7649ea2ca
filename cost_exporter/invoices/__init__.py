"""What providers state themselves, from files and APIs, and how our figures compare with it."""
