"""UVMS adapter: webhooks of Alertmanager and Grafana in, phone calls through UCloud UVMS out."""

__version__ = "0.1.0"
