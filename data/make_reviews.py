"""Write data/reviews.parquet: a few hundred short texts made for this project.

    python data/make_reviews.py

Needs pyarrow alone. The same script gives the same rows.
"""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

PRODUCT_REVIEWS = """
I adore this kettle, it makes my mornings so much nicer.
Arrived broken and the seller refuses to answer. I am furious.
Best headphones I have ever owned, I could not be happier with them!
The zipper tore on the first day. What a waste of money.
I bought this for my late father's birthday and now I cannot look at it without crying.
Wow, I did not expect it to be this light!
My daughter hugs this bear every night. We love it to pieces.
The smoke coming out of the charger scared me to death.
Decent for the price, and the colour is lovely.
They sent the wrong size twice. Twice! Unbelievable incompetence.
So happy with this purchase, it exceeded every expectation.
I feel cheated. The photos show metal, and it is painted plastic.
The battery swelled up overnight and I am afraid to touch it.
I was amazed at how quickly it arrived, the very next morning!
A beautiful gift. My wife fell in love with it at once.
It died after a week, just like the last one. I am so disappointed.
This blender is a joy to use, quiet and strong.
Never again. The company lied to me and kept my deposit.
I was sceptical, but it really did take the stain out. Astonishing!
The handle came off while it was full of boiling water. Terrifying.
Feels cheap and looks sad next to the old one.
I smile every time I walk past this lamp.
The instructions are an insult to anyone who can read.
My cat adores the blanket and so do I.
I miss the old version; this one has no soul.
Perfect fit, gorgeous fabric, I feel wonderful in it.
Customer service hung up on me. I have never been so angry at a shop.
I had no idea a toaster could surprise me, but here we are.
Worried about the gas smell, so we stopped using it.
Lovely little book, I read it to my grandson every evening.
The screen cracked in my pocket. Heartbroken, I saved for months.
Delighted! It works exactly as described.
Outrageous price for a piece of cardboard.
The brakes failed on a hill and my hands are still shaking.
What a pleasant surprise to find a handwritten note in the box!
I cherish this watch; it was made with so much care.
It does its job and I am content with it.
It smells awful and gives me a headache. Disgusting.
Received an empty box. I honestly do not know what to feel.
These boots make me so happy on rainy days.
The seat belt of this pram opened by itself. I panicked.
Sturdy, simple, cheap: I am thrilled.
The paint peeled off, and the shop blames me. I am livid.
I was moved to tears by the engraving. Thank you.
A gloomy, joyless game. I regret buying it.
Works great!
Broke.
Love it.
Scary how loud it is.
Did not see that ending coming!
""".strip().splitlines()

CHAT = """
omg i got the job!!! i am shaking with joy
where were you last night, i was worried sick
stop messaging me, i mean it
aww you are the sweetest, i love you too
i cant believe she actually said that, wow
feeling really down today, can we talk
haha that made my day
the dog ran away and im so scared he wont come back
leave me alone, you have done enough
guess who is coming to dinner?! you will never believe it
i miss you more than words can say
why does he always treat me like dirt, im done
so proud of you little sister
there is someone outside the door and im alone
we won!! we actually won!!
i feel so lonely since you moved
you lied to my face and i hate you for it
cuddles and tea with my favourite person
nothing seems worth it any more
what?? since when are you two together
ugh he cancelled again, i am so mad right now
happy birthday gorgeous, hope your day is as lovely as you are
i have my exam in an hour and my stomach is in knots
grandma is in hospital, please pray for her
that was the funniest thing ever
i feel loved and safe when you are around
i am so jealous and it makes me angry at everyone
never thought i would see snow in april
sorry, i have been crying all morning
cant stop smiling since you called
do you hear that? it sounds like footsteps upstairs
thank you for caring about me, it means everything
they towed my car!!! i am boiling
it is raining, i am in bed with a book, life is good
my heart is broken and i dont know what to do
whoa, did you see the size of that thing
im terrified of flying but i will do it for you
best. weekend. ever.
he took credit for my work again, the nerve
hold my hand, i am frightened
good night my love
so that is it then. goodbye
ok
fine, whatever, i am sick of arguing
you came all this way for me? i am speechless
i feel terrible about what i said to him
i am thankful for every one of you
the lights just went out again, this is creepy
""".strip().splitlines()

DIARY = """
Today the doctor said the lump is benign. I walked home laughing.
I sat in Mum's empty kitchen for an hour and could not move.
He asked me to marry him by the lake, and I felt my whole heart open.
They read my letter aloud to the class. I wanted to scream at them.
The letter from the bank came and I did not dare to open it.
A fox walked straight into the garden and looked at me, I could hardly believe it.
I have been feeling homesick ever since the train left.
The baby smiled at me for the first time this morning.
I dreamt again that I was falling, and woke up drenched and trembling.
My brother sold the house without asking any of us. I am still fuming.
We danced in the kitchen like fools, and I loved him more than ever.
Nobody came to the reading. I packed up the chairs and went home.
First warm day of the year; I ate lunch on the steps and felt blissful.
I found a letter from my grandfather inside a book, and I gasped.
I hate how he talks to the waiters, it makes my blood boil.
I am nervous about Monday, and every small noise makes me jump.
I feel strangely calm and content tonight.
The old dog died in my arms. The house is so quiet.
She kept my drawing all these years! I had no idea.
I held her hand until she slept, full of tenderness.
They are closing the mill, and I fear for all of us.
I finished the marathon, last but one, and I have never felt so proud.
I am bitter about the promotion and I cannot hide it.
I burst into tears over a burnt cake; it was not about the cake.
Sunlight, coffee, the new song on repeat. What a glorious morning.
I am surprised by how little I miss the city.
The storm took the roof of the barn; we hid in the cellar, terrified.
I feel hopeless about the project, we are months behind.
I looked at my children asleep and felt such love that it hurt.
Someone scratched the car on purpose. Hateful, petty people.
I am grateful for this year, in spite of everything.
I was startled to see my own name in the paper.
I feel ashamed of how I behaved at the funeral.
An evening with old friends, and my cheeks ache from laughing.
The test results are late and my mind imagines the worst.
I feel ignored at work, as if I were a piece of furniture.
I am fond of this crooked little house.
Dinner at Ada's: she had invited the whole orchestra! Astonishing woman.
I shouted at the children and now I feel miserable.
I resent being the one who always cleans up.
My first day at the shelter; a three-legged cat chose me, and I am smitten.
I feel restless and afraid of the year to come.
I gave my notice. I feel free and light as a feather.
He never wrote back.
""".strip().splitlines()

SUPPORT = """
Your update deleted all my photos. Ten years of my life are gone. I am devastated.
I have been on hold for two hours. This is absolutely unacceptable!
Thank you so much, Priya solved it in a minute. I am delighted!
I am worried that someone has got into my account, please help quickly.
I was charged three times and nobody answers my emails. I want my money back NOW.
I am amazed that a real person answered on a Sunday.
Please send my thanks to the whole team, we love working with you.
The invoice is wrong again. Do you people ever check anything?
My insulin delivery has not arrived and I am getting scared.
I feel let down. I recommended you to all my friends.
You refunded me before I even asked? I did not see that coming.
The new dashboard makes me so happy, well done!
Cancel my subscription. I am fed up with your excuses.
I am anxious about the deadline: will the export finish in time?
I lost the last message from my husband with the old phone. Is there any way to get it back?
Great support, friendly and fast. I am very pleased.
The technician was rude to my mother, and I am outraged.
How on earth did you find the bug from that description? Wow!
Is it true that my data was leaked? I am frightened to open anything.
It has been sad to watch this product decline.
Your assistant was kind and patient with my grandmother; she adores him.
The password page loops for ever. So frustrating!
The app says that there is a fire alarm at my house, and I am far away. Please hurry!
I appreciate the quick reply, I feel in good hands.
You closed my ticket without reading it. How dare you.
I was surprised to find a second user in my account.
I am sorry to say that we are leaving after nine years.
It works again, hooray!
Why was I blocked? I have done nothing wrong, this is an insult.
The heater makes a hissing sound, and I am afraid that it might explode.
""".strip().splitlines()

SPECIAL = [
    "I ❤️ this place 😍😍",
    "😡😡😡 worst. service. ever.",
    "RIP little one 😢🌈",
    "😱 what was that noise",
    "🎉🎉🎉",
    "Größe passt, ich bin sehr glücklich!",
    "Déçue et triste, le café était froid…",
    "Me encanta, ¡qué alegría!",
    "私はとても嬉しいです",
    "Я так по тебе скучаю",
    "naïve façade, coöperate: I feel rather clever today",
    "I FEEL SO ALIVE TODAY",
    "don't can't won't — I'm so tired of it all",
    "   I am happy, with spaces around   ",
    "line one is calm\nline two is furious",
    "\ttabs\tand\tjoy\t",
    "https://example.com/track?id=42 still not delivered, annoying",
    "5/5",
    "???",
    "...",
    " ",
]

LONG = " ".join(
    f"On day {day} we walked until the light was gone, ate bread and cheese by the road, and I was happy "
    "to have nothing else to do than to put one foot before the other."
    for day in range(1, 31)
)

SOURCES = {
    "product review": PRODUCT_REVIEWS,
    "chat": CHAT,
    "diary": DIARY,
    "support ticket": SUPPORT,
}


def rows(random: Random) -> list[dict]:
    out = [(source, text) for source, texts in SOURCES.items() for text in texts]
    out += [(random.choice(list(SOURCES)), text) for text in SPECIAL]
    out += [("diary", LONG)]
    out += [(random.choice(list(SOURCES)), None) for _ in range(12)]
    out += [(random.choice(list(SOURCES)), "") for _ in range(5)]
    # What people write again and again.
    for source, text, times in [
        ("product review", "Love it.", 14),
        ("product review", "Works great!", 11),
        ("product review", "Broke.", 6),
        ("chat", "ok", 13),
        ("chat", "good night my love", 9),
        ("chat", "haha that made my day", 7),
        ("support ticket", "It works again, hooray!", 5),
        ("support ticket", "I have been on hold for two hours. This is absolutely unacceptable!", 6),
    ]:
        out += [(source, text)] * times
    random.shuffle(out)
    moment = datetime(2026, 1, 5, 7, 30, tzinfo=timezone.utc)
    table = []
    for number, (source, text) in enumerate(out, start=1):
        moment += timedelta(minutes=random.randint(3, 900), seconds=random.randint(0, 59))
        table.append({"id": number, "timestamp": moment, "source": source, "text": text})
    return table


def main() -> None:
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("text", pa.string()),
        ]
    )
    table = pa.Table.from_pylist(rows(Random(7)), schema)
    path = Path(__file__).with_name("reviews.parquet")
    pq.write_table(table, path, row_group_size=128, compression="zstd")
    print(f"{path}: {table.num_rows} rows")


if __name__ == "__main__":
    main()
