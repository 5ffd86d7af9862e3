"""What `make mutation` changes, and the tests that should notice."""

from __future__ import annotations

# First the decisions that must not go wrong.
AREAS: dict[str, tuple[list[str], list[str]]] = {
    "addresses": (
        ["jobs/http/public_addresses.py", "jobs/http/transport.py"],
        ["tests/jobs/test_public_addresses.py", "tests/jobs/test_outbound.py"],
    ),
    "authorization": (
        ["automart/web/authorization.py", "automart/oauth/authentication.py"],
        [
            "tests/web/test_authorization.py",
            "tests/web/test_matrix.py",
            "tests/oauth/test_login.py",
            "tests/oauth/test_tokens.py",
            "tests/accounts/test_sessions.py",
            "tests/accounts/test_clients.py",
            "tests/web/test_rate_limits.py",
        ],
    ),
    "bookings": (
        [
            "automart/inventory/service.py",
            "automart/inventory/new_booking.py",
            "automart/inventory/availability.py",
            "automart/inventory/overlaps.py",
        ],
        ["tests/inventory"],
    ),
    "outbox": (
        [
            "automart/background/leases.py",
            "automart/background/maintenance.py",
            "automart/background/queues.py",
            "automart/background/service.py",
        ],
        [
            "tests/background",
            "tests/jobs/test_housekeeping.py",
            "tests/jobs/test_runner.py",
            "tests/purchases/test_sales.py",
        ],
    ),
    "signing": (
        ["automart/webhooks/signing.py", "automart/core/encryption.py"],
        [
            "tests/webhooks/test_signing.py",
            "tests/webhooks/test_sending.py",
            "tests/partners/test_offices.py",
            "tests/oauth/test_tokens.py",
            "tests/cli/test_accounts.py",
            "tests/test_encryption.py",
        ],
    ),
    "sync": (
        [
            "automart/catalogue/changes.py",
            "automart/catalogue/held_makes.py",
            "automart/catalogue/plan.py",
            "automart/catalogue/sync.py",
            "jobs/catalogue.py",
        ],
        ["tests/catalogue", "tests/cli/test_changes.py", "tests/jobs/test_sync_faults.py"],
    ),
    "tokens": (
        [
            "automart/oauth/tokens.py",
            "automart/oauth/grants.py",
            "automart/oauth/revocation.py",
            "automart/accounts/sessions.py",
        ],
        ["tests/oauth", "tests/accounts/test_sessions.py"],
    ),
    # Whole packages.
    "accounts": (
        ["automart/accounts/*"],
        [
            "tests/accounts",
            "tests/cli/test_accounts.py",
            "tests/oauth/test_login.py",
            "tests/web/test_matrix.py",
        ],
    ),
    "background": (
        ["automart/background/*"],
        [
            "tests/background",
            "tests/jobs/test_csv_imports.py",
            "tests/jobs/test_housekeeping.py",
            "tests/jobs/test_runner.py",
            "tests/catalogue/test_vehicle_syncs.py",
        ],
    ),
    "catalogue": (
        ["automart/catalogue/*"],
        [
            "tests/catalogue",
            "tests/cli/test_changes.py",
            "tests/cli/test_makes.py",
            "tests/cli/test_sync.py",
            "tests/inventory/test_csv.py",
            "tests/jobs/test_housekeeping.py",
            "tests/jobs/test_sync_faults.py",
        ],
    ),
    "cli": (
        ["automart/cli/*"],
        ["tests/cli", "tests/customers/test_csv.py", "tests/inventory/test_csv.py"],
    ),
    "core": (
        ["automart/core/*", "automart/app.py"],
        [
            "tests/core",
            "tests/test_encryption.py",
            "tests/accounts/test_clients.py",
            "tests/catalogue/test_makes.py",
            "tests/cli/test_accounts.py",
            "tests/cli/test_errors.py",
            "tests/cli/test_folder.py",
            "tests/cli/test_notify_test.py",
            "tests/customers/test_csv.py",
            "tests/customers/test_photos.py",
            "tests/inventory/test_csv.py",
            "tests/inventory/test_database.py",
            "tests/notices",
            "tests/oauth/test_tokens.py",
            "tests/operations",
            "tests/purchases",
            "tests/web/test_error_handlers.py",
            "tests/web/test_openapi.py",
            "tests/web/test_rate_limits.py",
            "tests/web/test_reading.py",
            "tests/web/test_urls.py",
            "tests/webhooks/test_signing.py",
        ],
    ),
    "customers": (
        ["automart/customers/*"],
        ["tests/customers", "tests/jobs/test_csv_imports.py"],
    ),
    "inventory": (["automart/inventory/*"], ["tests/inventory"]),
    "jobs": (
        ["jobs/*"],
        [
            "tests/background",
            "tests/catalogue",
            "tests/jobs",
            "tests/notices",
            "tests/purchases",
            "tests/vins",
            "tests/webhooks",
        ],
    ),
    "notices": (["automart/notices/*"], ["tests/notices", "tests/cli/test_notify_test.py"]),
    "oauth": (
        ["automart/oauth/*"],
        [
            "tests/oauth",
            "tests/accounts/test_clients.py",
            "tests/accounts/test_sessions.py",
            "tests/cli/test_accounts.py",
            "tests/cli/test_doctor.py::test_doctor_names_secrets_that_cannot_be_decrypted",
            "tests/web/test_authorization.py",
            "tests/web/test_header_parsers.py",
            "tests/web/test_matrix.py",
        ],
    ),
    "operations": (["automart/operations/*"], ["tests/operations"]),
    "partners": (["automart/partners/*"], ["tests/partners", "tests/purchases"]),
    "production": (["automart/production/*"], ["tests/production"]),
    "purchases": (["automart/purchases/*", "jobs/purchases.py"], ["tests/purchases"]),
    "vins": (["automart/vins/*", "jobs/vins.py"], ["tests/vins"]),
    "web": (
        ["automart/web/*"],
        [
            "tests/web",
            "tests/test_compatibility.py",
            "tests/accounts/test_clients.py",
            "tests/catalogue/test_models.py",
            "tests/core/test_logging.py",
            "tests/customers/test_photos.py",
            "tests/jobs/test_csv_imports.py",
            "tests/operations/test_metrics.py",
            "tests/production/test_factories.py",
        ],
    ),
    "webhooks": (
        ["automart/webhooks/*", "jobs/webhooks.py"],
        [
            "tests/webhooks",
            "tests/cli/test_webhooks.py",
            "tests/jobs/test_runner.py",
            "tests/partners/test_offices.py",
        ],
    ),
}

# Tests that start processes: few, because all of them run with each mutant that survives.
_WORKER = "tests/jobs/test_worker_processes.py"
PROCESS_TESTS = {
    "cli": ["tests/cli/test_up.py"],
    "jobs": [
        f"{_WORKER}::test_a_worker_refuses_a_queue_that_does_not_exist",
        f"{_WORKER}::test_a_worker_for_one_queue_serves_only_that_one",
        f"{_WORKER}::test_the_processes_of_a_worker_end_with_it",
        f"{_WORKER}::TestHanging",
        f"{_WORKER}::test_a_sync_continues_after_a_deployment",
    ],
}
