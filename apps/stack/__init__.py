"""The whole stack on one machine: embedded servers, the services, and the supervisor that keeps them alive."""
