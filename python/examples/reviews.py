"""A tour of datafusion_emotion, in cells; run it from anywhere: python examples/reviews.py."""

# %% A session of DataFusion with the emotion functions.
from pathlib import Path

from datafusion import SessionContext

import datafusion_emotion

reviews = Path(__file__).parents[2] / "data" / "reviews.parquet"
ctx = SessionContext()
datafusion_emotion.register(ctx)
ctx.register_parquet("reviews", str(reviews))

# %% Which emotions does each source express?
ctx.sql(
    """SELECT source, emotion_classify(text) AS emotion, count(*) AS texts
    FROM reviews WHERE text IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 3 DESC"""
).show()

# %% The angriest texts, by the data frame API.
from datafusion import col, lit

anger = ctx.udf("emotion_score")
(
    ctx.table("reviews")
    .filter(col("text").is_not_null())
    .select(anger(col("text"), lit("anger")).alias("anger"), col("text"))
    .distinct()
    .sort(col("anger").sort(ascending=False))
    .limit(5)
    .show()
)

# %% Lists and Arrow columns, without SQL.
print(datafusion_emotion.classify(["I like you.", "Go away!", None]))
texts = ctx.table("reviews").select("text").to_arrow_table()["text"]
print(datafusion_emotion.annotate(texts)[0])

# %% A model with options of its own, which threads may share.
classifier = datafusion_emotion.Classifier(precision="int8", max_length=128)
print(classifier, classifier.labels)
print(classifier.scores(["What a day!"]))
