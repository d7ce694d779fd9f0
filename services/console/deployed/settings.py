"""What the operator's tools have to know of a deployed system."""

from typing import Annotated

from pydantic import AnyHttpUrl, Field, SecretStr

from services.runtime.settings import RuntimeSettings


class ToolSettings(RuntimeSettings):
    """Settings of `maillage smoke`, `backup` and `restore`. Each field is read from `MAILLAGE_<FIELD>`."""

    operator_key: Annotated[SecretStr, Field(description="The operator's key, plain")]
    secret: Annotated[SecretStr, Field(description="Signs the private inbox addresses")]
    public_url: Annotated[AnyHttpUrl, Field(description="Address under which people reach the system")]
    smtp_password: Annotated[SecretStr | None, Field(description="Password at the mail server")] = None
