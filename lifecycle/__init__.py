"""lifecycle: the operational half of MLflow."""
