"""Reports as values (`spend.py`, `workflow.py`) and their forms (`forms.py`). Pure: rows come in, text goes out."""
