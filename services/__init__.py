"""The five services, the gateway and the command that starts them."""

SERVICES = ("consent", "cases", "health", "exchange", "audit")
