"""What the fake vPIC can be asked and told by another process.

With URL=http://127.0.0.1:8001:

    curl $URL/_sandbox/requests                       what was asked; ?count=1 for the number only
    curl -X DELETE $URL/_sandbox/requests             begin anew
    curl $URL/_sandbox/orders                         the orders in force
    curl -d '{"fault": "forbidden", "make_id": 448}' $URL/_sandbox/orders
    curl -X DELETE $URL/_sandbox/orders               forget them; ?make_id=448 for one make's only
    curl -T models.csv $URL/_sandbox/data             other data: columns as in data/models.csv
"""

from typing import TYPE_CHECKING

from sandbox.catalogue import Catalogue
from sandbox.control import Control, Query, as_json, done, order_actions
from sandbox.faults import VpicOrder
from sandbox.server import Reply

if TYPE_CHECKING:
    from sandbox.vpic import Vpic


def control(vpic: "Vpic") -> Control:
    """The control interface of a vPIC."""

    def list_requests(query: Query, _body: bytes) -> Reply:
        if "count" in query:
            return as_json(200, {"count": vpic.request_count})
        requests = [request._asdict() for request in vpic.requests]
        return as_json(200, {"count": len(requests), "requests": requests})

    def forget_requests(_query: Query, _body: bytes) -> Reply:
        vpic.forget_requests()
        return done()

    def serve(_query: Query, body: bytes) -> Reply:
        catalogue = Catalogue.from_csv_text(body.decode())
        vpic.serve(catalogue)
        models = sum(len(models) for models in catalogue.models.values())
        return as_json(200, {"makes": len(catalogue.makes), "models": models})

    return Control(
        {
            "requests": {"GET": list_requests, "DELETE": forget_requests},
            "orders": order_actions(vpic.orders, VpicOrder, _make_id),
            "data": {"PUT": serve},
        }
    )


def _make_id(query: Query) -> int | None:
    if "make_id" not in query:
        return None
    make_id = query["make_id"][0]
    if not make_id.isdecimal():
        raise ValueError("make_id must be a whole number")
    return int(make_id)
