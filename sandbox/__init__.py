"""Stand-ins for NHTSA and for regional offices, for tests, demos and benchmarks.

    with Vpic() as vpic:
        vpic.order(Fault.FORBIDDEN, make_id=448)
        requests.get(f"{vpic.url}/vehicles/GetModelsForMakeId/448?format=json")  # 403

    with Offices() as offices:
        offices.trust("berlin", "whsec_…")
        offices.order(OfficeFault.STATUS, office="berlin", status=410, times=1)
        requests.post(offices.url("berlin"), data=…, headers=…)  # 410
        offices.received("berlin")[0].verified

The product never imports this package, nor does this package import the product.
"""

from sandbox.catalogue import Catalogue
from sandbox.faults import Fault
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from sandbox.office_inbox import Received
from sandbox.vpic import Vpic
from sandbox.vpic_log import Request

__all__ = ["Catalogue", "Fault", "OfficeFault", "Offices", "Received", "Request", "Vpic"]
