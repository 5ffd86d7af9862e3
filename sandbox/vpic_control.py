"""The HTTP interface by which another process controls the fake vPIC API.

With URL=http://127.0.0.1:8001:

    curl $URL/_sandbox/requests                       the requests; ?count=1 for the number only
    curl -X DELETE $URL/_sandbox/requests             delete them
    curl $URL/_sandbox/orders                         the orders in force
    curl -d '{"fault": "forbidden", "make_id": 448}' $URL/_sandbox/orders
    curl -X DELETE $URL/_sandbox/orders               cancel them; ?make_id=448 for one make only
    curl -T models.csv $URL/_sandbox/data             replace the data; see data/models.csv
"""

from collections.abc import Callable

from sandbox.catalogue import Catalogue
from sandbox.control import Control, Query, as_json, no_content, order_actions
from sandbox.faults import VpicOrder
from sandbox.orders import OrderBook
from sandbox.server import Reply
from sandbox.vpic_log import RequestLog


def create_vpic_control(
    orders: OrderBook[VpicOrder], log: RequestLog, serve: Callable[[Catalogue], None]
) -> Control:
    """Return the control interface. `serve` replaces the catalogue."""

    def list_requests(query: Query, _body: bytes) -> Reply:
        if "count" in query:
            return as_json(200, {"count": len(log)})
        requests = [request._asdict() for request in log.all()]
        return as_json(200, {"count": len(requests), "requests": requests})

    def delete_requests(_query: Query, _body: bytes) -> Reply:
        log.clear()
        return no_content()

    def replace_data(_query: Query, body: bytes) -> Reply:
        catalogue = Catalogue.from_csv_text(body.decode())
        serve(catalogue)
        models = sum(len(models) for models in catalogue.models.values())
        return as_json(200, {"makes": len(catalogue.makes), "models": models})

    return Control(
        {
            "requests": {"GET": list_requests, "DELETE": delete_requests},
            "orders": order_actions(orders, VpicOrder, _make_id),
            "data": {"PUT": replace_data},
        }
    )


def _make_id(query: Query) -> int | None:
    if "make_id" not in query:
        return None
    make_id = query["make_id"][0]
    if not make_id.isdecimal():
        raise ValueError("make_id must be a whole number")
    return int(make_id)
