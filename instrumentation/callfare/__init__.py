"""callfare inside the application: say on whose account a call goes, and what it may cost."""
