"""Time series: requests for time ranges, and CSV responses as columns."""
