"""What happens when a flow or task is called: the core decides, drivers act."""
