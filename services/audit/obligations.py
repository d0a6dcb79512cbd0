"""Which obligations this installation performs by code; a permit with a required one outside this set is a deny.

The code is named here; what it does stands where it is done.
"""

PERFORMED = {
    "log_disclosure": "services.audit.handlers: intent before, outcome after",
    "log_decision": "services.audit.handlers: every ruling is an entry",
    "log_retrieval_79": "services.audit.handlers: every single retrieval is an entry, not each tenth",
    "each_view_is_a_disclosure": "services.exchange.handlers: there is no view beside the disclosure",
    "tenant_separation": "shared.eventstore: a store is opened for one agency",
    "purpose_binding_78": "services.exchange.documents: the notice travels in the document",
    "purpose_binding_65": "services.exchange.documents: the notice travels in the document",
    "purpose_binding_recipient": "services.exchange.documents: the notice travels in the document",
    "purpose_binding_consent": "services.exchange.documents: the notice travels in the document",
    "stop_on_withdrawal": "services.exchange.withdrawal: stop, take back, retract",
}
