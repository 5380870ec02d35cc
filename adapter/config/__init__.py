"""What the operator decides: policy in routes.yaml, deployment and secrets in the environment.

`load.load` and `load.load_file` give a `policy.Policy`; `environment.settings` gives `Settings`.
"""
