"""What is asked of a model of weather: the flags, the forecast of today, and what each sample is told."""
