"""Authorization server metadata, public keys and built-in clients."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.models import Client, ClientKind
from automart.core.db import db
from tests.oauth.pages import (
    VERIFIER,
)


class TestDiscovery:
    def test_the_metadata_name_the_endpoints(self, client: FlaskClient) -> None:
        metadata = client.get("/.well-known/oauth-authorization-server").get_json()
        methods = ["client_secret_basic", "client_secret_post", "none"]
        assert metadata == {
            "issuer": "http://localhost",
            "authorization_endpoint": "http://localhost/oauth/authorize",
            "token_endpoint": "http://localhost/oauth/token",
            "revocation_endpoint": "http://localhost/oauth/revoke",
            "jwks_uri": "http://localhost/.well-known/jwks.json",
            "scopes_supported": ["catalogue", "metrics"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "service_documentation": "http://localhost/docs",
        }

    def test_the_issuer_does_not_depend_on_the_prefix(self, client: FlaskClient) -> None:
        metadata = client.get("/api/.well-known/oauth-authorization-server").get_json()
        assert metadata["issuer"] == "http://localhost"
        assert metadata["token_endpoint"] == "http://localhost/api/oauth/token"

    def test_only_public_keys_are_published(self, client: FlaskClient) -> None:
        (key,) = client.get("/.well-known/jwks.json").get_json()["keys"]
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["alg"], key["use"]) == ("ES256", "sig")


def test_built_in_clients_are_applications(app: Flask) -> None:
    kinds = {client.id: client.kind for client in db.session.query(Client)}
    assert kinds == {"docs": ClientKind.APPLICATION, "login": ClientKind.APPLICATION}
    assert len(VERIFIER) >= 43
