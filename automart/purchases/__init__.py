"""Sales of regional offices, the states of their making, and the webhooks that tell of them."""
