"""The way in: HTTP and AMQP front doors, sign-in, and the pages for people. Owns no facts."""
