"""The tests mirror the code, module by module; `journeys` tell whole stories."""
