# An image of the program alone. It takes the wheel of the program from python/test_program.sh, or the wheels of a
# release (docs/releasing.md), in the folder target/wheels:
#
#     docker build -t emotion .
#     docker run --rm -v "$PWD:/data" emotion classify "I like you."

FROM python:3.13-slim-trixie AS wheel
COPY target/wheels /wheels
# The wheel for the platform of the image. Its version is that of the only wheels there.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --no-index --find-links /wheels emotion-cli

# The libraries of C and no shell, as the user "nonroot".
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=wheel /usr/local/bin/emotion /usr/local/bin/emotion
COPY LICENSE data/model/NOTICE data/model/MODEL_CARD.md /usr/share/doc/emotion/
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/emotion"]
CMD ["--help"]
