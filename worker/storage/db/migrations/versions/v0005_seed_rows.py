"""Version 0005: seeds that are rows of a file, and how far each seed file was read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FORMER_PLACE = "seeds"  # the default path: older versions kept the names of the files alone


def upgrade() -> None:
    """Add the files, with one for the seeds that are there; the next import of their files corrects it.

    SQLite copies the table `seeds` for it, which holds the raw seed files and nothing of the articles.
    """
    op.create_table(
        "seed_files",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("stamp", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_seed_files"),
        sa.UniqueConstraint("name", name="uq_seed_files_name"),
    )
    with op.batch_alter_table("seeds") as seeds:
        seeds.add_column(sa.Column("file_id", KEY))
        seeds.add_column(sa.Column("row", sa.Integer))
        seeds.alter_column("raw", existing_type=sa.LargeBinary(), nullable=True)
        seeds.drop_constraint("uq_seeds_name_sha256", type_="unique")
        seeds.create_unique_constraint("uq_seeds_sha256_file_id_article_id", ["sha256", "file_id", "article_id"])
        seeds.create_foreign_key("fk_seeds_file_id_seed_files", "seed_files", ["file_id"], ["id"])
    op.create_index("ix_seeds_file_id", "seeds", ["file_id"])
    of_place = sa.text(
        "INSERT INTO seed_files (name, stamp, rows, refused) "
        "SELECT :name, '', count(*), 0 FROM seeds HAVING count(*) > 0"
    )
    op.get_bind().execute(of_place, {"name": FORMER_PLACE})
    op.execute("UPDATE seeds SET file_id = (SELECT id FROM seed_files)")
