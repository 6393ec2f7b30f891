-- Runs once, on an empty volume, as the superuser over the pod's own socket.
-- MLflow owns its database and is nothing more: COPY ... PROGRAM and the like stay out of its reach.
-- A failing statement is logged, and these carry a password.
SET log_min_error_statement = panic;
\getenv app_username APP_USERNAME
\getenv app_password APP_PASSWORD
\getenv app_database APP_DATABASE
CREATE ROLE :"app_username" LOGIN PASSWORD :'app_password';
CREATE DATABASE :"app_database" OWNER :"app_username";
-- Without a password the superuser cannot log in over the network, only through the pod's socket.
ALTER ROLE CURRENT_USER PASSWORD NULL;
