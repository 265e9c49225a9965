"""What qpdf may take of the memory while it opens a PDF. Its limits hold for the whole process that sets them."""

import pikepdf.settings

# A PDF's tables and objects may be compressed a thousand to one, and chained: a megabyte would fill the memory on opening.
MAX_PDF_STREAM = 32 * 1024**2


def limit_qpdf() -> None:
    """Bound what opening a PDF expands to, in this process."""
    pikepdf.settings.set_qpdf_limits(
        flate_max_memory=MAX_PDF_STREAM,
        run_length_max_memory=MAX_PDF_STREAM,
        png_max_memory=MAX_PDF_STREAM,
        tiff_max_memory=MAX_PDF_STREAM,
        dct_max_memory=MAX_PDF_STREAM,
        max_stream_filters=4,
        doc_max_warnings=100,
    )
