"""PostgreSQL: the only room that writes SQL. Functions take a connection and return domain records."""
