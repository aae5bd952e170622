"""What curators say of references, and what they are for.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.String(32)

TEXTS = ("origin", "rights", "citation", "date", "place", "curator")


def upgrade() -> None:
    """Add the columns. No version before wrote references: the defaults are for none."""
    with op.batch_alter_table("reference") as table:
        for name in TEXTS:
            table.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=""))
        for name, default in (("split", "train"), ("kind", "period"), ("certainty", "probable")):
            table.add_column(sa.Column(name, WORD, nullable=False, server_default=default))
        table.add_column(sa.Column("phash", sa.String(16), nullable=False, server_default=""))
        table.add_column(sa.Column("delivery", sa.String(32), nullable=False, server_default=""))
        table.add_column(
            sa.Column("vouched", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.add_column(sa.Column("corrects_item_id", ID, nullable=True))
        table.create_foreign_key(
            "fk_reference_corrects_item_id", "item", ["corrects_item_id"], ["id"]
        )


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("reference") as table:
        table.drop_constraint("fk_reference_corrects_item_id", type_="foreignkey")
        for name in (
            "corrects_item_id",
            "vouched",
            "delivery",
            "phash",
            "certainty",
            "kind",
            "split",
            *TEXTS,
        ):
            table.drop_column(name)
