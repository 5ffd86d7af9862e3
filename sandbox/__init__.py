"""The outside world, played on this machine: for tests, demos and benchmarks.

    with Vpic() as vpic:
        vpic.order(Fault.FORBIDDEN, make_id=448)
        requests.get(f"{vpic.url}/vehicles/GetModelsForMakeId/448?format=json")  # 403

The product never imports this package, and this package imports nothing of the product.
"""

from sandbox.catalogue import Catalogue
from sandbox.faults import Fault
from sandbox.vpic import Request, Vpic

__all__ = ["Catalogue", "Fault", "Request", "Vpic"]
