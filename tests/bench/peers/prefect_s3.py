"""prefect-aws's pull step, which loads into the working directory: ENDPOINT BUCKET PREFIX."""

import os
import sys

from prefect_aws.deployments.steps import pull_from_s3

endpoint, bucket, prefix = sys.argv[1:]
credentials = {
    "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
    "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
}
pull_from_s3(bucket, prefix, credentials, {"endpoint_url": endpoint})
