def test_sync(client, run_jobs, vpic):
    for i, n in ((474, "Honda"), (448, "Toyota")):
        assert client.post("/v1/makes", json={"id": i, "name": n}).status_code == 201
    r = client.post("/v1/vehicle-syncs")
    assert r.status_code == 202
    run_jobs()
    r = client.get(r.headers["Location"])
    assert r.json["state"] == "succeeded", r.json
    assert len(r.json["result"]["makes_updated"]) == 2
