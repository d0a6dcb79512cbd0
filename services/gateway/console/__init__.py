"""Pages for people, rendered on the server, in German: start page, signing in, a citizen's own data, problem pages.

The pages about the law speak English, too.
"""

from services.gateway.console.pages import blueprint, error_page

__all__ = ["blueprint", "error_page"]
