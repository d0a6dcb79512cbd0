"""Partner exchange: who the partners are and what was disclosed to them."""
