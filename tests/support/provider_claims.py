"""What identity providers say in an access token, after their own documents; time and user are added by `claims`.

Supabase and Keycloak name a user by a UUID. Auth0 and Clerk do not, nor does Keycloak for the users of a directory
that it only federates (`f:<directory>:<name>`).
"""

from typing import Any

from tests.support.tokens import NOW_S

AUTH0: dict[str, Any] = {
    "iss": "https://tenant.auth0.com/",
    "sub": "auth0|6553da60a54af58e29493993",
    "aud": ["https://farebox.example/api", "https://tenant.auth0.com/userinfo"],
    "scope": "openid profile",
    "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
}
CLERK: dict[str, Any] = {
    "iss": "https://clerk.example.com",
    "sub": "user_2NNEqL2nrIRdJ194ndJqAHwEfxC",
    "azp": "https://example.com",
    "nbf": NOW_S - 70,
    "sid": "sess_2GaMqUCB3Sc1WNAkWuNzsnYVVEy",
    "fva": [7, -1],
    "sts": "active",
    "v": 2,
    "jti": "5f2c9e7a4bb54f7ea5f1",
}
SUPABASE: dict[str, Any] = {
    "iss": "https://abcdefghijklmnop.supabase.co/auth/v1",
    "aud": "authenticated",
    "email": "person@example.org",
    "phone": "",
    "app_metadata": {"provider": "email", "providers": ["email"]},
    "user_metadata": {"email_verified": True},
    "role": "authenticated",
    "aal": "aal1",
    "amr": [{"method": "password", "timestamp": NOW_S - 60}],
    "session_id": "b1e0e4a3-6d39-4a4b-9d29-6a8f7f6f0d0c",
    "is_anonymous": False,
}
KEYCLOAK: dict[str, Any] = {
    "iss": "https://sso.example/realms/shop",
    "aud": "account",
    "jti": "d58f5dc8-fd8f-462b-8a19-716f8f83985b",
    "typ": "Bearer",
    "azp": "shop",
    "sid": "2a88c258-f73a-4103-b862-e1fbd8f4e04e",
    "acr": "1",
    "realm_access": {"roles": ["offline_access", "default-roles-shop"]},
    "scope": "email profile",
}
KEYCLOAK_FEDERATED: dict[str, Any] = KEYCLOAK | {"sub": "f:4e9e6f5a-3c0e-4c8a-9c39-0a5f6d7b8c9d:ada"}
