"""MLflow's own command for rollouts: `mlflow deployments create -t lifecycle:/churn …`."""
