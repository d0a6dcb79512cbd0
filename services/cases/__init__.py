"""Cases: who is accompanied, by whom, and what stands in the agency's own file (Fallmanagement)."""

from services.cases import history as history
