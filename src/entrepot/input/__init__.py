"""What a paused flow run can ask for: models with initial data, and any type that pydantic knows.

class Approval(RunInput):
ok: bool
reason: str = ""
"""

from entrepot.input.run_input import RunInput

__all__ = ["RunInput"]
