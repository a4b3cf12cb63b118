import stages  # noqa: F401  chooses the arithmetic before NumPy loads
