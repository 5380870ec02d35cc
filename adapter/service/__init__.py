"""The composition root.

`parts` puts the service together, `current` holds the policy in force, `coverage` looks ahead for
holes, and `running` starts it all, reloads it, and stops it in order.
"""

from adapter.service.current import Current
from adapter.service.parts import Parts, Ports
from adapter.service.running import Options, new_id, serve

__all__ = ["Current", "Options", "Parts", "Ports", "new_id", "serve"]
